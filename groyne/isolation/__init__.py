"""The wall around COMMAND on Linux: namespaces, covered places, and one relay as the only way out.

`launch.supported()` tries the wall for real and says why it cannot stand. `launch.launch(spec)` starts `inside.py` as a
fresh interpreter (so that nothing Groyne knows is in its memory), which builds the namespaces, makes the listening sockets in
the new network namespace and passes them out, drops every power and executes COMMAND. `relay` accepts on those sockets from
outside and pumps each connection to Envoy.

Only the standard library may be imported here: `inside` runs without site-packages, and this file is imported on its way.
"""
