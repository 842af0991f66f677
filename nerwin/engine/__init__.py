"""Arrays and gradients: operations, graphs of them, optimizers, and the gradient check.

Nothing here knows of words, files or tags. Reading order: ``ops``, ``graph``, ``rowgrad``,
``optim``, ``kernels``, ``gradcheck``.
"""
