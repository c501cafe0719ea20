import { Box, useInput, useStdin, useWindowSize } from 'ink'
import type { ReactElement } from 'react'
import { StatusScreen } from './status-screen.tsx'
import type { StatusView } from './status-view.ts'

export interface LiveScreenProps {
  readonly view: StatusView
  readonly color: boolean
  readonly onQuit: () => void
}

/** The status screen on a terminal: fills the window and listens to keys. Ctrl-C is Ink's own. */
export function LiveScreen({ view, color, onQuit }: LiveScreenProps): ReactElement {
  const { columns, rows } = useWindowSize()
  const { isRawModeSupported } = useStdin()
  useInput(
    (input) => {
      if (input.toLowerCase() === 'q') onQuit()
    },
    { isActive: isRawModeSupported },
  )
  return (
    <Box height={rows} overflow="hidden">
      <StatusScreen {...{ view, columns, color, keys: 'q quits' }} />
    </Box>
  )
}
