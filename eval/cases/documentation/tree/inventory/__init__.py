"""Keeps track of what is in the cupboard."""
