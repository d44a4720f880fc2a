"""The rigs that the other tests stand on, tried by themselves."""
