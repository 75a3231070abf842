"""Accounts that hold whole cents."""
