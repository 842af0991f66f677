"""Words, files and tags: everything that is known of text before there are numbers.

Nothing here knows of gradients. Reading order: ``corpus``, ``tags``, ``tokenizer``, ``inline``,
``vectorfiles``, ``vectors``, ``vocabulary``, ``windows``.
"""
