"""The forms in which pages write days and times, by language."""
