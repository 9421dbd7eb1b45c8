// Owns what a command is: its words, arguments, options and action, as data. Parsing, help, completion and COMMANDS.md
// are made of it, so that they cannot differ. The commands themselves are commands/.
import type { Session } from './session.ts';

/** Where the values of an argument or option come from, for completion. */
export type Source =
  | 'services'
  | 'pools'
  | 'backends'
  | 'nodes'
  | 'users'
  | 'folders'
  | 'links'
  | 'entries'
  | 'storages'
  | 'changes'
  | 'reasons'
  | 'interfaces'
  | 'files';

type Common = {
  readonly describe: string;
  readonly required?: true;
  /** May be given more than once. */
  readonly many?: true;
  readonly choices?: readonly string[];
  readonly source?: Source;
};

export type Argument = Common;

export type Option = Common & {
  /** `optional`: text that may be left out; it is empty then. */
  readonly type: 'text' | 'number' | 'flag' | 'optional';
  /** One letter. */
  readonly short?: string;
  /** Said in the help; the action, or the daemon, applies it. */
  readonly standard?: string;
};

/** By name in camel case; on the command line it is in kebab case. */
export type Arguments = Readonly<Record<string, Argument>>;
export type Options = Readonly<Record<string, Option>>;

type Text<S extends Common> = S extends { readonly choices: readonly (infer Choice)[] } ? Choice : string;
type Single<S extends Common> = S extends { readonly type: 'flag' }
  ? boolean
  : S extends { readonly type: 'number' }
    ? number
    : Text<S>;
type Value<S extends Common> = S extends { readonly many: true }
  ? readonly Single<S>[]
  : S extends { readonly required: true } | { readonly type: 'flag' }
    ? Single<S>
    : Single<S> | undefined;

/** Lists are empty and flags false where nothing is given; the rest is undefined unless required. */
export type Given<Specs extends Readonly<Record<string, Common>>> = {
  readonly [Name in keyof Specs]: Value<Specs[Name]>;
};

export type Command = {
  /** `services add` */
  readonly path: string;
  readonly summary: string;
  /** What the summary does not say; paragraphs. */
  readonly details?: string;
  readonly arguments: Arguments;
  readonly options: Options;
  /** Command lines without `holdfast`, each with what it is for. */
  readonly examples: readonly (readonly [string, string])[];
  /** Writes its results through the session; the exit code is 0 unless it returns another one. */
  // biome-ignore lint/suspicious/noConfusingVoidType: an action that has nothing to say about its exit returns nothing
  readonly run: (session: Session, given: Given<Arguments & Options>) => Promise<number | void>;
};

/** Ties the type of what is given to what is declared. */
export function command<
  const A extends Arguments = Record<never, never>,
  const O extends Options = Record<never, never>,
>(spec: {
  readonly path: string;
  readonly summary: string;
  readonly details?: string;
  readonly arguments?: A;
  readonly options?: O;
  readonly examples?: Command['examples'];
  // biome-ignore lint/suspicious/noConfusingVoidType: as above
  readonly run: (session: Session, given: Given<A> & Given<O>) => Promise<number | void>;
}): Command {
  return {
    arguments: {},
    options: {},
    examples: [],
    ...spec,
    run: spec.run as Command['run'],
  };
}

export function kebab(name: string): string {
  return name.replace(/[A-Z0-9]+/g, (found, at: number) =>
    at === 0 || /^\d/.test(found) ? found : `-${found.toLowerCase()}`,
  );
}

/** `--gue-port` */
export function flagOf(name: string): string {
  return `--${kebab(name)}`;
}

/** What follows an option's description in parentheses. */
export function hints(it: Argument | Option): string[] {
  const type = 'type' in it ? it.type : 'text';
  return [
    ...(it.required ? ['required'] : []),
    ...(it.choices === undefined ? [] : [it.choices.join(', ')]),
    ...(type === 'number' ? ['number'] : []),
    ...(it.many ? ['repeatable'] : []),
    ...('standard' in it ? [`default ${it.standard}`] : []),
  ];
}

export function describe(it: Argument | Option): string {
  const more = hints(it);
  return more.length === 0 ? it.describe : `${it.describe} (${more.join('; ')})`;
}

/** The command line as help shows it: `services add <name>`. */
export function usageOf({ path, arguments: named }: Pick<Command, 'path' | 'arguments'>): string {
  const words = Object.entries(named).map(([name, { required, many }]) => {
    const word = `${kebab(name)}${many ? '..' : ''}`;
    return required ? `<${word}>` : `[${word}]`;
  });
  return [path, ...words].join(' ');
}
