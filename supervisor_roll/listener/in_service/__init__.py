"""What load balancers are told of a program, and how it is taken out of service and put back."""
