"""What trains again: separate networks beside the joint one, and several weightings of the losses."""
