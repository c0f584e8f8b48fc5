"""A body proven before it joins a rig: trials, verdict, report."""
