/** Hands the arguments of a call in a template to the parameters of a function. */
import {TemplateError, type Named, type Value} from './python/values.js';

/**
 * The arguments in the order of `parameters`, undefined for those that are not given.
 * @param parameters names; `/` after those that cannot be given by name; `name=` if it may be missing
 */
export function bind(
  caller: string,
  parameters: readonly string[],
  positional: readonly Value[],
  named: Named,
): (Value | undefined)[] {
  const slash = parameters.indexOf('/');
  const names = parameters.filter((name) => name !== '/');
  if (positional.length > names.length)
    throw new TemplateError(
      `${caller}() takes ${names.length} arguments but ${positional.length} were given`,
    );
  const left = new Map(named);
  const bound = names.map((parameter, i) => {
    const name = parameter.replace('=', '');
    const byName = i < slash ? undefined : left.get(name);
    if (i < positional.length) {
      if (byName !== undefined)
        throw new TemplateError(`${caller}() got multiple values for argument '${name}'`);
      return positional[i];
    }
    if (byName === undefined && name === parameter)
      throw new TemplateError(`${caller}() is missing its argument '${name}'`);
    left.delete(name);
    return byName;
  });
  for (const name of left.keys())
    throw new TemplateError(`${caller}() got an unexpected keyword argument '${name}'`);
  return bound;
}
