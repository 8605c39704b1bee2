print("martlet-control")
