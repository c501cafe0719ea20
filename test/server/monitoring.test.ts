/** What deploy/ has for Prometheus and Grafana, against a site that runs. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { projectRoot } from '../commands/load-commands.ts'
import { NotYet, until } from '../e2e/until.ts'
import { parseMetrics } from './parse-metrics.ts'
import { remoteAt, TestSite } from './test-site.ts'

const read = (path: string): string => readFileSync(join(projectRoot, path), 'utf8')

interface Rule {
  readonly alert: string
  readonly expr: string
  readonly annotations: { readonly summary?: string; readonly description?: string }
}

interface Panel {
  readonly id: number
  readonly title: string
  readonly targets: readonly { readonly expr: string }[]
}

const alerts: { readonly groups: readonly { readonly rules: readonly Rule[] }[] } = parse(
  read('deploy/prometheus-alerts.yaml'),
)
const rules = alerts.groups.flatMap(({ rules }) => rules)
const dashboard: { readonly panels: readonly Panel[]; readonly templating: object } = JSON.parse(
  read('deploy/grafana-dashboard.json'),
)
const guide = read('docs/monitoring.md')

let a: TestSite
let b: TestSite
let samples: ReadonlyMap<string, number>
let names: ReadonlySet<string>
let labels: ReadonlyMap<string, ReadonlySet<string>>

beforeAll(async () => {
  const token = 'a-token-for-site-a-to-write-to-b'
  b = await (await TestSite.make()).start({ replication: { acceptTokens: [token] } })
  a = await (await TestSite.make()).start({
    replication: { enabled: true, remotes: [remoteAt(b.url, token)] },
  })
  await a.send('PUT', '/docs/a', { body: 'a' })
  const text = await metricsOnceShipped(a)
  samples = parseMetrics(text)
  const series = [...samples.keys()]
  const declared = [...text.matchAll(/^# TYPE (\S+)/gm)].map(([, name]) => name ?? '')
  names = new Set([...declared, ...series.map((sample) => sample.split('{')[0] ?? '')])
  labels = new Map(
    [...names].map((name) => {
      const own = series.filter((sample) => sample.startsWith(`${name}{`))
      return [name, new Set(own.flatMap((sample) => sample.match(/\w+(?==")/g) ?? []))]
    }),
  )
})

afterAll(async () => {
  await a.remove()
  await b.remove()
})

/** Percentiles are there once something was acknowledged. */
function metricsOnceShipped(site: TestSite): Promise<string> {
  return until('all is shipped', async () => {
    const text = (await site.send('GET', '/admin/metrics')).body.toString()
    const isShipped = text.includes('comio_replication_pending{remote="default"} 0')
    return isShipped && text.includes('quantile="0.99"') ? text : new NotYet('not yet')
  })
}

/** Metrics of an expression, each with the labels that it is selected by. */
function selectorsIn(expr: string): readonly { readonly name: string; readonly by: string[] }[] {
  return [...expr.matchAll(/\b((?:comio|process|nodejs)_\w+|up\b)(\{[^}]*\})?/g)].map(
    ([, name = '', selector = '']) => ({ name, by: selector.match(/\w+(?==~?"|!~?")/g) ?? [] }),
  )
}

/** Given by Prometheus itself. */
const ofPrometheus = new Set(['up'])
const labelsOfPrometheus = new Set(['instance', 'job'])

function expectKnown(expr: string): void {
  const selectors = selectorsIn(expr)
  expect(selectors.length, expr).toBeGreaterThan(0)
  for (const { name, by } of selectors) {
    if (ofPrometheus.has(name)) continue
    expect(names, expr).toContain(name)
    for (const label of by) {
      if (!labelsOfPrometheus.has(label)) expect(labels.get(name), name).toContain(label)
    }
  }
}

describe('the alert rules', () => {
  test.each(rules.map((rule) => [rule.alert, rule] as const))(
    '%s looks at metrics that exist, and says in words what it means and what to do',
    (name, { expr, annotations }) => {
      expectKnown(expr)
      expect(annotations.summary?.length).toBeGreaterThan(10)
      expect(annotations.description?.length).toBeGreaterThan(50)
      expect(guide).toContain(`\`${name}\``)
    },
  )

  test('cover what goes wrong with a site and its replication', () => {
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length)
    const all = rules.map(({ expr }) => expr).join('\n')
    for (const needed of [
      'comio_replication_lag_seconds',
      'comio_replication_stalled_seconds',
      'comio_replication_dead_letters',
      'duplicate|superseded',
      'state="unreachable"',
      'comio_replication_remote_conflicts_total',
      'comio_volume_used_bytes / comio_volume_capacity_bytes',
      'up{job="comio"}',
    ]) {
      expect(all).toContain(needed)
    }
  })
})

describe('the dashboard', () => {
  test('looks at metrics and labels that exist', () => {
    expect(dashboard.panels.length).toBeGreaterThan(15)
    expect(new Set(dashboard.panels.map(({ id }) => id)).size).toBe(dashboard.panels.length)
    for (const { targets } of dashboard.panels) for (const { expr } of targets) expectKnown(expr)
    for (const { name } of selectorsIn(JSON.stringify(dashboard.templating))) {
      expect(names).toContain(name)
    }
  })
})

test('the site counts what the wire carries, and what became of what it sent', () => {
  const of = (name: string) => samples.get(`comio_replication_${name}`) ?? 0
  expect(of('wire_bytes_total{direction="sent",remote="default"}')).toBeGreaterThan(500)
  expect(of('wire_bytes_total{direction="received",remote="default"}')).toBeGreaterThan(200)
  expect(of('events_total{kind="put",remote="default",result="applied"}')).toBe(1)
  expect(of('batch_events_sum{remote="default"}')).toBe(2)
})

describe('the guide', () => {
  test('names metrics that exist, and every one of replication', () => {
    const spelled = [
      ...guide.matchAll(/`(comio_\w+?)(?:\{[^`]*\})?`((?:, `_\w+`(?:\{[^`]*\})?)*)/g),
    ]
    const named = spelled.flatMap(([, first = '', rest = '']) => [
      first,
      ...[...rest.matchAll(/`(_\w+)`/g)].map(([, tail]) => `comio_replication${tail}`),
    ])
    for (const name of named) if (!name.endsWith('_')) expect(names).toContain(name)
    const missing = [...names].filter((name) => /^comio_replication_/.test(name))
    const inGuide = (name: string): boolean =>
      named.includes(name.replace(/_(bucket|sum|count)$/, '')) ||
      named.includes(name) ||
      name === 'comio_replication_in_flight'
    expect(missing.filter((name) => !inGuide(name))).toEqual([])
  })
})
