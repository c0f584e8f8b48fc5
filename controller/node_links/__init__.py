"""The studio's side of its nodes: control channel, arming, status, a guard over the ports."""
