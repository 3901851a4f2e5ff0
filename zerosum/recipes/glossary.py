"""What each setting of the recipes means, one line each: for `--help`, `zerosum recipes` and the docs."""

from collections.abc import Mapping

__all__ = ["SETTINGS"]

SETTINGS: Mapping[str, str] = {
    "latent": "Size of the generator's input.",
    "latent_law": "Its law: uniform on [-1, 1], or normal.",
    "hidden": "The generator's hidden ReLU layers.",
    "critic_hidden": "The critic's hidden layers.",
    "pieces": "Linear pieces of each maxout unit; 1 makes it LeakyReLU.",
    "dropout": "What the critic drops, at its input and at hidden units.",
    "objective": "What critic and generator minimise.",
    "penalty": 'Penalty on the critic, name:key=value,...; may be given several times; "none" for none.',
    "constraint": "Constraint on the critic, name:key=value,...",
    "generator_constraint": "Constraint on the generator, name:key=value,...",
    "corruption": "What the critic sees of real and fake alike: noise, augmentation; name:key=value,...",
    "regulariser": "Term on a player's weights alone, name:key=value,...",
    "pack": "How many samples the critic judges at once (PacGAN).",
    "unroll": "Steps of the critic through which the generator looks ahead.",
    "feature_matching": "Weight of matching the critic's features, in place of the generator's loss.",
    "batch_layer": "Lets the critic compare samples: minibatch-discrimination or minibatch-stddev.",
    "critic_steps": "Turns of the critic a step: k in algorithm 1 of the first GAN paper.",
    "first": "Who moves first.",
    "fakes": "Fresh fakes for the generator's turn, or shared with the critic's.",
    "optimiser": "adam, rmsprop or sgd, with name:key=value,...",
    "lr": "Learning rate.",
    "critic_lr": "The critic's own learning rate.",
    "schedule": 'How lr and momentum change; may be given several times; "none" for none.',
    "average": "Decay of the moving average of the generator, from which samples are drawn.",
    "batch": "Real images a turn, over all processes.",
    "images": "Length of training, in real images shown.",
    "width": "Feature maps next to the image; DCGAN nets double them with each halving, up to eightfold.",
    "critic_width": "The critic's feature maps next to the image.",
    "growth": "Residual nets double their feature maps with each block inwards, up to this many times.",
    "flat": "How many of the critic's blocks, the last ones, do not halve the size.",
    "pooling": "The critic's last feature maps, a sum or a mean over places.",
    "kernel": "Size of the convolutions.",
    "norm": "Normalisation in the generator: batch, layer, none, and with DCGAN nets virtual.",
    "critic_norm": "Normalisation in the critic; gradient penalties need layer or none.",
}
