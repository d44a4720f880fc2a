"""ext-proc and a real Envoy that know each other by certificates which the controller's own code signs: rotation, drain and wrong ids."""
