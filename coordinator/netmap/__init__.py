"""What a client is told: the full map, and the difference to what it was told before.

Pure. `world` bundles what there is to tell, `session` what one client has been told, `builder` and `delta`
make messages from both. Encoded pieces that many viewers share are made once (`fragments`).
"""
