"""Requests to the MCP server of the world, inside intercepted TLS."""

import json

from e2e.breakout.laptop import Attempt
from e2e.breakout.raw import request


def tool_call(name: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": name}}).encode()


MCP = "mcp.ok.test"
MCP_LINES = ("MCP-Protocol-Version: 2025-06-18", "Content-Type: application/json", "Accept: application/json, text/event-stream")


def mcp(body: bytes, *lines: str) -> Attempt:
    return lambda laptop: laptop.tls(f"{MCP}:443", MCP, request("/mcp", MCP, *MCP_LINES, *lines, method="POST", body=body))
