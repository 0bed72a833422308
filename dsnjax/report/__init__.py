"""Stores and finished runs -> offline pages that people read, and the numbers beside them."""
