/** All checks of the house rules, by name. */
import { checkAmbient } from './ambient.ts'
import {
  checkCommands,
  checkConsole,
  checkErrorCodes,
  checkExits,
  checkFileNames,
  checkLeftovers,
} from './conduct.ts'
import { checkLayers } from './layers.ts'
import type { Check } from './project.ts'
import { checkSizes } from './sizes.ts'

export const houseRules: Readonly<Record<string, Check>> = {
  layers: checkLayers,
  ambient: checkAmbient,
  exits: checkExits,
  console: checkConsole,
  'file-names': checkFileNames,
  leftovers: checkLeftovers,
  sizes: checkSizes,
  commands: checkCommands,
  'error-codes': checkErrorCodes,
}
