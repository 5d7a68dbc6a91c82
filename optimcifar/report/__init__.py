"""The results of runs in words, tables, pictures and a page."""
