const bars = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const

/** One character per value, scaled to the largest; a space where nothing is known, `▁` for zero. */
export function sparkline(values: readonly (number | undefined)[]): string {
  const largest = Math.max(0, ...values.map((value) => value ?? 0))
  return values.map((value) => barOf(value, largest)).join('')
}

function barOf(value: number | undefined, largest: number): string {
  if (value === undefined) return ' '
  if (value <= 0) return bars[0]
  return bars[Math.min(bars.length - 1, Math.ceil((value / largest) * (bars.length - 1)))] ?? ''
}
