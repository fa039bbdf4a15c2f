"""RTL -> placed and routed design -> .bit, with area, timing and floorplan."""
