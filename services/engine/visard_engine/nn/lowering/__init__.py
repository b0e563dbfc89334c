"""From a torch graph to operations: what each layer and function becomes, by kind.

A lowering takes the builder and the node of the graph that calls the layer, emits operations, and gives the number of the
value that stands for the node. It raises UnsupportedLayer, with the node's place, for what is not on the list.
"""
