# Pins of the PYNQ-Z2 (TUL): the four user LEDs. The clock comes from the processing system and is
# constrained by the flow. One property a line: nextpnr does not take -dict.
set_property LOC R14 [get_ports {led[0]}]
set_property LOC P14 [get_ports {led[1]}]
set_property LOC N16 [get_ports {led[2]}]
set_property LOC M14 [get_ports {led[3]}]
set_property IOSTANDARD LVCMOS33 [get_ports {led[0]}]
set_property IOSTANDARD LVCMOS33 [get_ports {led[1]}]
set_property IOSTANDARD LVCMOS33 [get_ports {led[2]}]
set_property IOSTANDARD LVCMOS33 [get_ports {led[3]}]
