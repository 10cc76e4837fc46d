from .calibration import (
    abstention as abstention,
    choose_threshold as choose_threshold,
    expected_calibration_error as expected_calibration_error,
    fit_temperature as fit_temperature,
    with_temperature as with_temperature,
)
from .figures import (
    plot_confusion_matrix as plot_confusion_matrix,
    plot_history as plot_history,
    plot_sensitivity as plot_sensitivity,
    plot_students as plot_students,
)
from .metrics import (
    bootstrap as bootstrap,
    confusion_matrix as confusion_matrix,
    evaluate as evaluate,
    uar as uar,
    uar_batchwise as uar_batchwise,
)
from .probes import (
    gap_closed as gap_closed,
    label_propagation as label_propagation,
    teacher_probe as teacher_probe,
)
from .report import write_report as write_report
from .run_verdict import verdict as verdict
from .shortcuts import label_shortcuts as label_shortcuts
from .significance import (
    bootstrap_difference as bootstrap_difference,
    holm as holm,
    mcnemar as mcnemar,
    two_proportion_z as two_proportion_z,
)
