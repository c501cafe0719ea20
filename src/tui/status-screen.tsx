/** The screen of `comio repl status --watch`: arranges a view in the width there is. */
import { Box, Text } from 'ink'
import type { ReactElement, ReactNode } from 'react'
import { formatTime, type Tone } from './describe-link.ts'
import { sparkline } from './sparkline.ts'
import type { LinkRow, LinkView, SourceFailure, StatusView } from './status-view.ts'

export interface StatusScreenProps {
  readonly view: StatusView
  readonly columns: number
  readonly color: boolean
  /** A line about the keys, where keys can be pressed. */
  readonly keys?: string
}

const nameColumns = 12
const sparklineColumnsMax = 60
const marks: Readonly<Record<Tone, string>> = { good: '✓', busy: '…', bad: '!', off: '-' }
const colors: Readonly<Record<Tone, string>> = {
  good: 'green',
  busy: 'yellow',
  bad: 'red',
  off: 'gray',
}

export function StatusScreen({ view, columns, color, keys }: StatusScreenProps): ReactElement {
  return (
    <Box flexDirection="column" flexShrink={0} width={columns}>
      <Header view={view} color={color} keys={keys} />
      {view.failure === undefined ? null : <Failure {...{ view, color, failure: view.failure }} />}
      {view.siteId === undefined && view.failure === undefined ? <Line>asking…</Line> : null}
      {view.rows.map((row) => (
        <Row key={row.name} row={row} color={color} />
      ))}
      {view.links.map((link) => (
        <Headline key={link.name} link={link} color={color} />
      ))}
      {view.siteId !== undefined && view.links.length === 0 ? (
        <Line>replication is off at this site: it has no remote</Line>
      ) : null}
      {view.links.map((link) => (
        <LinkPanel key={link.name} {...{ link, columns, color, isLive: keys !== undefined }} />
      ))}
    </Box>
  )
}

interface HeaderProps {
  readonly view: StatusView
  readonly color: boolean
  readonly keys: string | undefined
}

function Header({ view, color, keys }: HeaderProps): ReactElement {
  const site = view.siteId === undefined ? '' : ` · site ${view.siteId}`
  const role = view.role === undefined ? '' : ` · ${view.role}`
  const now = formatTime(view.now.toISOString(), view.now)
  return (
    <Box justifyContent="space-between" marginBottom={1}>
      <Box flexShrink={1}>
        <Text wrap="truncate-end" bold={color}>{`${view.url}${site}${role}`}</Text>
      </Box>
      <Box flexShrink={0} marginLeft={2}>
        <Text dimColor={color}>{keys === undefined ? now : `${now} · ${keys}`}</Text>
      </Box>
    </Box>
  )
}

interface FailureProps {
  readonly view: StatusView
  readonly failure: SourceFailure
  readonly color: boolean
}

function Failure({ view, failure, color }: FailureProps): ReactElement {
  const since = formatTime(failure.since.toISOString(), view.now)
  const hint = failure.hint === undefined ? '' : ` (${failure.hint})`
  const old =
    view.asOf === undefined
      ? 'asking again'
      : `asking again; what follows is as of ${formatTime(view.asOf.toISOString(), view.now)}`
  return (
    <Box flexDirection="column" marginBottom={1}>
      <Toned
        tone="bad"
        color={color}
      >{`! ${view.url} cannot be asked since ${since}: ${old}`}</Toned>
      <Line>{`  ${failure.message}${hint}`}</Line>
    </Box>
  )
}

function Headline({ link, color }: { link: LinkView; color: boolean }): ReactElement {
  return (
    <Toned tone={link.tone} color={color}>
      {`${marks[link.tone]} ${link.headline}`}
    </Toned>
  )
}

interface LinkPanelProps {
  readonly link: LinkView
  readonly columns: number
  readonly color: boolean
  /** One look alone has no course to draw. */
  readonly isLive: boolean
}

function LinkPanel({ link, columns, color, isLive }: LinkPanelProps): ReactElement {
  const width = Math.max(10, Math.min(sparklineColumnsMax, columns - nameColumns - 2))
  return (
    <Box flexDirection="column" marginTop={1}>
      <Text wrap="truncate-end" bold={color}>{`${link.name} → ${link.url}`}</Text>
      {link.rows.map((row) => (
        <Row key={row.name} row={row} color={color} />
      ))}
      {isLive ? (
        <Row row={{ name: 'last minute', text: sparkline(link.backlog(width)) }} color={color} />
      ) : null}
    </Box>
  )
}

function Row({ row, color }: { row: LinkRow; color: boolean }): ReactElement {
  return (
    <Box paddingLeft={2}>
      <Box width={nameColumns} flexShrink={0}>
        <Text dimColor={color}>{row.name}</Text>
      </Box>
      <Box flexShrink={1}>
        <Toned tone={row.tone} color={color} wrap="truncate-end">
          {row.text}
        </Toned>
      </Box>
    </Box>
  )
}

interface TonedProps {
  readonly tone: Tone | undefined
  readonly color: boolean
  readonly wrap?: 'wrap' | 'truncate-end'
  readonly children: ReactNode
}

function Toned({ tone, color, wrap = 'wrap', children }: TonedProps): ReactElement {
  const paint = color && tone !== undefined ? { color: colors[tone] } : {}
  return (
    <Text wrap={wrap} {...paint}>
      {children}
    </Text>
  )
}

function Line({ children }: { children: ReactNode }): ReactElement {
  return <Text wrap="wrap">{children}</Text>
}
