"""A photograph with its face changed: moved by the fitted mesh, shaded anew, and filled where something opens."""
