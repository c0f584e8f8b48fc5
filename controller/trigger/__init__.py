"""The trigger: which screen holds it, the countdown, acceptance by itself, and commands that are done once."""
