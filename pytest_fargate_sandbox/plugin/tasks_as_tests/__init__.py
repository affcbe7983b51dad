"""Folders of benchmark tasks as files of tests."""
