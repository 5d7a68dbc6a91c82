"""The help of the command line that needs no parser: building that of ``fit`` takes seconds."""

from __future__ import annotations

HELP = """\
usage: optimcifar COMMAND [options]

Compare optimizers, learning-rate schedules and weight averaging on CIFAR-10.

commands:
  fit        train, and write the run to lightning_logs/version_N
  schedule   draw the learning rates of a run without training
  resume     continue an interrupted run in its folder
  validate   measure the loss and accuracy of a checkpoint on the validation images
  test       measure the loss and accuracy of a checkpoint on the test images
  predict    write the class of every validation image to a table
  compare    train several configurations over several seeds: which is better, and how sure is that
  sweep      train with many values of one or two hyperparameters, and plot their effect
  tune       tune several configurations with equal budgets, then compare them on other seeds
  report     draw a comparison, a sweep or a study again, or compare folders of single runs
  configs    list the configurations that come with the package, or copy them to a folder

options:
  -h, --help   this text; after a command, its own options
  --version    the version

A configuration is a file, or a name that optimcifar configs lists: --config rmsprop. Configurations are read first, in
their order. All other options override them, wherever they stand.

examples:
  optimcifar fit --config configs/rmsprop.yaml
  optimcifar fit --config configs/rmsprop.yaml --data Shapes10DataModule     (no download)
  optimcifar fit --config configs/sgd.yaml --model.optimizer Adam --model.optimizer.lr 0.001
  optimcifar test --ckpt_path lightning_logs/version_0"""


_FIT = """\
usage: optimcifar fit [--config FILE] [options]

Train, and write the run to lightning_logs/version_N. Every option stands with an
example; defaults are in brackets.

run:
  -c, --config configs/rmsprop.yaml        a file or a name, rmsprop; later ones override
  --seed_everything 1                      weights, split, order of images [0]
  --ckpt_path lightning_logs/version_0     go on from a run, or from a checkpoint
  --print_config                           print all options, and train nothing

model:
  --model.optimizer Adam                   PyTorch's, or the path of your own [SGD]
  --model.optimizer.lr 0.001               an argument of the optimizer
  --model.lr_scheduler StepLR              schedule of the learning rate [none]
  --model.lr_scheduler.step_size 3         an argument of the schedule
  --model.lr_interval step                 when it sets the rate [epoch]
  --model.net ResNet20                     or torchvision.models.resnet18 [ConvNet]
  --model.net.num_classes 10               an argument of the network
  --model.param_groups "[{max_ndim: 1, options: {weight_decay: 0.0}}]"
                                           options for some of the parameters [none]

data:
  --data Shapes10DataModule                generated images; CIFAR100DataModule, or
                                           ImageFolderDataModule [CIFAR10DataModule]
  --data.root ~/cifar10                    where the images are, or shall be [data]
  --data.batch_size 128                    training images per batch [64]
  --data.val_size 10000                    images held out for validation [5000]
  --data.mean 0.47                         subtracted from values of 0 to 1 [0.5]
  --data.std 0.25                          divisor applied after that [0.5]
  --data.augment crop_flip                 crop and mirror training images [none]

trainer:
  --trainer.max_epochs 20                  number of epochs [10]
  --trainer.max_steps 1000                 number of optimizer steps [-1, no limit]
  --trainer.accelerator cpu                cpu, gpu and others [auto]
  --trainer.devices 2                      number of devices [auto]
  --trainer.precision bf16-mixed           number format [32-true]
  --trainer.accumulate_grad_batches 4      batches per optimizer step [1]
  --trainer.gradient_clip_val 1.0          clip the norm of the gradient [none]
  --trainer.limit_train_batches 0.1        share or number of batches to use [1.0]
  --trainer.callbacks+=WeightAverages      add a callback
  --trainer.callbacks.ema_decay 0.99       an argument of that callback
  --trainer.logger TensorBoardLogger       write to a logger too [none]
  --trainer.logger.save_dir tb             an argument of that logger
  --trainer.default_root_dir runs          write to runs/lightning_logs [.]
  --trainer.profiler simple                print where the time went [none]

See the configurations:        optimcifar configs
See the arguments of a class:  optimcifar fit --model.optimizer.help Adam
See all options:               optimcifar fit --help-all"""

_EVALUATE = """\
usage: optimcifar {command} --ckpt_path PATH [options]

{text}

  --ckpt_path lightning_logs/version_0     a run, of which the last checkpoint counts,
                                           or a checkpoint: .../checkpoints/ema.ckpt
  --data.root ~/cifar10                    where the images are now, if they were moved
  --trainer.accelerator cpu                cpu, gpu and others [auto]

See all options:  optimcifar {command} --help-all"""

_RESUME = """\
usage: optimcifar resume FOLDER

Continue an interrupted run in its folder, from its last checkpoint, with the same
result as without the interruption. A run that has ended is refused; to train it for
longer, use optimcifar fit --ckpt_path FOLDER --trainer.max_epochs N.

example: optimcifar resume lightning_logs/version_0"""

_EVALUATIONS = {
    "validate": "Measure the loss and accuracy of a checkpoint on the validation images.",
    "test": "Measure the loss and accuracy of a checkpoint on the test images, and write them\nbeside it.",
    "predict": "Write the class of every validation image to a table beside the checkpoint.",
}

#: The help of the commands that have no parser of their own.
HELP_OF_COMMANDS = {
    "fit": _FIT,
    "resume": _RESUME,
    **{command: _EVALUATE.format(command=command, text=text) for command, text in _EVALUATIONS.items()},
}
