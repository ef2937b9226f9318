"""Whether a task still waits for its trigger: what Airflow before 3.3 does not tell a trigger that it stops."""

from __future__ import annotations

from typing import Any

from airflow.triggers.base import BaseTrigger
from airflow.utils.state import TaskInstanceState
from asgiref.sync import sync_to_async

#: Since 3.3 a trigger has `on_kill`, called only when a user ended the task.
HAS_ON_KILL = hasattr(BaseTrigger, "on_kill")


async def waits_for(instance: Any, trigger_id: int) -> bool:
    """Whether a task instance is deferred, and by this trigger where Airflow tells."""
    try:
        from airflow.sdk.execution_time.task_runner import RuntimeTaskInstance
    except ImportError:  # 2.11
        return await sync_to_async(_waits_in_database)(instance, trigger_id)
    states = await sync_to_async(RuntimeTaskInstance.get_task_states)(
        dag_id=instance.dag_id,
        task_ids=[instance.task_id],
        run_ids=[instance.run_id],
        map_index=instance.map_index,
    )
    return bool(states.get(instance.run_id, {}).get(instance.task_id) == TaskInstanceState.DEFERRED)


def _waits_in_database(instance: Any, trigger_id: int) -> bool:
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.session import create_session

    with create_session() as session:
        row = (
            session.query(TaskInstance.state, TaskInstance.trigger_id)
            .filter_by(
                dag_id=instance.dag_id,
                task_id=instance.task_id,
                run_id=instance.run_id,
                map_index=instance.map_index,
            )
            .one_or_none()
        )
    return row is not None and tuple(row) == (TaskInstanceState.DEFERRED, trigger_id)
