"""How far a face predicted from one image is from the true one."""
