from .figures import (
    plot_confusion_matrix as plot_confusion_matrix,
)
from .figures import (
    plot_history as plot_history,
)
from .figures import (
    plot_sensitivity as plot_sensitivity,
)
from .figures import (
    plot_students as plot_students,
)
from .metrics import (
    bootstrap as bootstrap,
)
from .metrics import (
    confusion_matrix as confusion_matrix,
)
from .metrics import (
    evaluate as evaluate,
)
from .metrics import (
    uar as uar,
)
from .metrics import (
    uar_batchwise as uar_batchwise,
)
from .probes import (
    gap_closed as gap_closed,
)
from .probes import (
    label_propagation as label_propagation,
)
from .probes import (
    nearest_neighbours_vote as nearest_neighbours_vote,
)
from .probes import (
    teacher_probe as teacher_probe,
)
from .report import write_report as write_report
from .significance import (
    bootstrap_difference as bootstrap_difference,
)
from .significance import (
    holm as holm,
)
from .significance import (
    mcnemar as mcnemar,
)
from .significance import (
    two_proportion_z as two_proportion_z,
)
from .voices import heard_curve as heard_curve
