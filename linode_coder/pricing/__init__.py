"""What there is to choose from and what it costs: plans and prices, and what the wizard proposes of them."""
