"""What COMMAND's environment says: where the proxy is, whom to trust, and placeholders where keys were.

`sources` fetches the values that Secrets leave to this machine, `scrub` takes credentials out of an environment, `proxy_env`
adds what clients need to find Envoy and to trust it. All but `sources` are pure; none prints or logs a value.
"""
