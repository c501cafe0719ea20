/** The samples of a Prometheus text by name and labels; throws on a line that is none. */
export function parseMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('# HELP ') || line.startsWith('# TYPE ')) continue
    const match = /^([a-zA-Z_:][\w:]*)(\{[^}]*\})? (\S+)$/.exec(line)
    if (match === null) throw new Error(`no sample: ${line}`)
    const [, name, labels, value] = match
    samples.set(`${name}${sortLabels(labels)}`, Number(value?.replace('+Inf', 'Infinity')))
  }
  return samples
}

function sortLabels(labels: string | undefined): string {
  if (labels === undefined || labels === '{}') return ''
  return `{${labels.slice(1, -1).split(',').sort().join(',')}}`
}
