"""The study beside the rig: subjects and consents, the farm's runs, what was made of takes, what may leave."""
