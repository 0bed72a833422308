"""Drawings in files in, shuffled batches of images and points out."""
