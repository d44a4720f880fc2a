"""The controller on bad days, against a real API server: named faults, crash points, and seeded schedules of both.

place      a namespace, what its people do there, and what is there
laws       what has to hold in it: what is wrong at this moment, what may be written at all
operator   controller processes by way of the fault proxy: started, killed, asked for a second opinion with `--once`
"""
