"""The configuration of all trainers, under the names of the trainer guide."""

from bmtune.config.adversarial import AdversarialConfig
from bmtune.config.base import Config
from bmtune.config.generative import GenerativeConfig
from bmtune.config.training import ClassificationConfig
from bmtune.config.training import GANStyleConfig


class TrainersConfig(Config):
    """The configuration of each trainer; a trial uses those that its recipe needs."""

    classification: ClassificationConfig = ClassificationConfig()
    """Classification, and the `pre` phase of the others."""
    ganstyle: GANStyleConfig = GANStyleConfig()
    """GAN-style training."""
    generative: GenerativeConfig = GenerativeConfig()
    """Generative training by likelihood."""
    adversarial: AdversarialConfig = AdversarialConfig()
    """Training against attacks."""
