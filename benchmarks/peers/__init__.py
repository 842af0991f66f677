"""The same work done by others: each file is how a user of that library would write it."""
