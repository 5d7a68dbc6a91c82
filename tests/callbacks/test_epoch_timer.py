from __future__ import annotations

from helpers import quiet_trainer

from optimcifar import ImageClassifier, Shapes10DataModule
from optimcifar.callbacks.epoch_timer import EpochTimer


def test_first_epoch_is_timed_and_ends_the_run() -> None:
    timer = EpochTimer()
    trainer = quiet_trainer(max_epochs=3, min_epochs=2, callbacks=[timer])
    trainer.fit(ImageClassifier(), Shapes10DataModule(train_images=100, val_size=20, batch_size=16))
    assert (trainer.current_epoch, trainer.global_step, timer.steps) == (1, 5, 5)
    assert timer.seconds > 0
