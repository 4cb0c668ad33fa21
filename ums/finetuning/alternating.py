"""Alternating fine-tuning (sections 2.3 and 3.2.3, Fig. 1): the tasks take turns at the source.

Task i has its own loss and its own optimizer, over the shared parameters theta_S and its own
theta_i: a_i batches of task i, then a_(i+1) of the next task, and so on in turn. Its batches move
the encoder, and nothing of another task's head.
"""

from collections.abc import Iterator, Sequence

from ums.backend import Array
from ums.finetuning.loop import Criterion, EndlessBatches, train_together
from ums.finetuning.tasks import Task, Tuned, check_tasks
from ums.layers import Layer, Sequential
from ums.training import Epoch, Training, train_step


def tune_alternately(
    encoder: Layer,
    tasks: Sequence[Task],
    training: Training,
    mixing: Sequence[int] | None = None,
    criterion: Criterion | None = None,
) -> dict[str, Tuned]:
    """Train ``encoder`` and all heads, one task's batches after another's, in the order of :func:`turns`.

    A batch norm of the encoder normalises each batch by itself; its running statistics, which are
    used at inference, follow the batches of all tasks as they come.

    Move the encoder and the heads, which take its output, to ``training.device`` first. The encoder
    is trained further (pass a copy to keep the source). ``mixing`` holds the batches a_i of each
    task's turn, by default in proportion to its examples. ``criterion`` chooses the epoch that is
    kept, as for :func:`ums.finetuning.loop.train_together`.

    Returns:
        task name -> the tuned network ``Sequential(encoder, head)``, its history and cost.

    Raises:
        ValueError: The tasks cannot be tuned together, or ``mixing`` does not fit them.
        TrainingDiverged: A task's loss is not finite; all networks are restored.
    """
    settings = training.settings
    check_tasks(tasks, training, encoder)
    schedule = turns([settings.length(task.train) for task in tasks], mixing)
    encoder.freeze(False)
    networks = [Sequential(encoder, task.head) for task in tasks]
    optimizers = [
        task.optimizer(network.trainable_parameters(), settings.learning_rate)
        for task, network in zip(tasks, networks, strict=True)
    ]
    batches = [EndlessBatches(task.train, training) for task in tasks]

    def steps() -> Iterator[tuple[int, Array]]:
        for i in schedule:
            yield i, train_step(networks[i], tasks[i].loss, optimizers[i], *next(batches[i]))

    epoch = Epoch(steps, len(schedule), optimizers, batches)
    return train_together("alternating tuning", encoder, tasks, epoch, training, criterion)


def turns(batches: Sequence[int], mixing: Sequence[int] | None = None) -> list[int]:
    """The task of every batch of an epoch, in order.

    The mixing ratio of Luong et al. ("Multi-task sequence to sequence learning", 2016) is each
    task's share of the data, and so it is here: an epoch shows every task each of its examples once,
    and the smallest task's turns are of one batch. With B_i batches of task i there are R = min B_i
    rounds, and a_i = B_i / R, rounded up or down so that the turns add up to B_i.

    With ``mixing`` a turn has exactly a_i = ``mixing[i]`` batches, and an epoch has the number of
    rounds that comes nearest to sum B_i batches; a task whose examples are used up starts on them
    again, in a new order, and one with examples left goes on with them in the next epoch.

    (Luong et al. draw the next task at random; the UMS-Rep paper's tasks follow each other.)

    Raises:
        ValueError: ``mixing`` is not one positive integer for each task.
    """
    if mixing is None:
        rounds, totals = min(batches), batches
    else:
        if len(mixing) != len(batches) or any(a != int(a) or a < 1 for a in mixing):
            raise ValueError(
                f"mixing must be a positive whole number of batches for each of {len(batches)} "
                f"tasks, got {list(mixing)}"
            )
        rounds = max(1, round(sum(batches) / sum(mixing)))
        totals = [rounds * int(a) for a in mixing]
    return [
        i
        for r in range(rounds)
        for i, total in enumerate(totals)
        for _ in range(total * r // rounds, total * (r + 1) // rounds)
    ]
