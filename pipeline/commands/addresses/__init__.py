"""How people name a model, and what is stored of the model that they mean."""
