"""Events: what commits have done, stored so that streams deliver it in order and without a gap."""
