"""The demo: a studio on one machine, from simulated shutters to a verified release."""
