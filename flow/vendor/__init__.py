"""The ways through AMD's own tools: Vivado for a board of the open flow, Vitis for Alveo cards."""
