"""What the loss chart draws of a curve."""

from __future__ import annotations


def test_thinning_keeps_peaks_and_the_range_leaves_out_one_outlier(evaluated):
    low, high, points = evaluated(
        "runs/chart.js",
        """(() => {
            const steps = Array.from({length: 5000}, (_, i) => i), values = steps.map((i) => (i === 1234 ? 9 : 0.1));
            return [...m.range(values), m.thin(steps, values, 300)];
        })()""",
    )
    assert len(points) == 300 and max(point[2] for point in points) == 9
    assert 0 <= low < 0.1 < high < 1
