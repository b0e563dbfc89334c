"""From a torch graph to operations: what each layer and function becomes, by kind."""
