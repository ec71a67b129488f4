/** Python's `datetime.strftime`, which is glibc's in the C locale: every format, with its flags and widths. */

const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const MONTHS = [
  ...['January', 'February', 'March', 'April', 'May', 'June', 'July'],
  ...['August', 'September', 'October', 'November', 'December'],
];
const SPECIFIER = /%([-_0^#+]*)(\d*)([EO]?)([\s\S]?)/gu;
const DAY = 86_400_000;

/** Days since 1 January, from 0. */
const dayOfYear = (date: Date): number =>
  Math.round(
    (Date.UTC(date.getFullYear(), date.getMonth(), date.getDate()) - Date.UTC(date.getFullYear(), 0, 1)) /
      DAY,
  );

/** The year and week of ISO 8601. */
function isoWeek(date: Date): [number, number] {
  const weekday = (date.getDay() + 6) % 7;
  const thursday = new Date(date.getFullYear(), date.getMonth(), date.getDate() - weekday + 3);
  return [thursday.getFullYear(), Math.floor(dayOfYear(thursday) / 7) + 1];
}

/** A number, how many digits it is padded to and with what. */
type Number_ = [value: number, width: number, pad?: string];

function numberFor(letter: string, date: Date): Number_ | undefined {
  const year = date.getFullYear();
  const hour = date.getHours();
  const twelve = hour % 12 || 12;
  switch (letter) {
    case 'Y':
      return [year, 1];
    case 'C':
      return [Math.floor(year / 100), 2];
    case 'y':
      return [year % 100, 2];
    case 'G':
      return [isoWeek(date)[0], 1];
    case 'g':
      return [isoWeek(date)[0] % 100, 2];
    case 'm':
      return [date.getMonth() + 1, 2];
    case 'd':
      return [date.getDate(), 2];
    case 'e':
      return [date.getDate(), 2, ' '];
    case 'j':
      return [dayOfYear(date) + 1, 3];
    case 'H':
      return [hour, 2];
    case 'k':
      return [hour, 2, ' '];
    case 'I':
      return [twelve, 2];
    case 'l':
      return [twelve, 2, ' '];
    case 'M':
      return [date.getMinutes(), 2];
    case 'S':
      return [date.getSeconds(), 2];
    case 's':
      return [Math.floor(date.getTime() / 1000), 1];
    case 'u':
      return [date.getDay() || 7, 1];
    case 'w':
      return [date.getDay(), 1];
    case 'U':
      return [Math.floor((dayOfYear(date) + 7 - date.getDay()) / 7), 2];
    case 'W':
      return [Math.floor((dayOfYear(date) + 7 - ((date.getDay() + 6) % 7)) / 7), 2];
    case 'V':
      return [isoWeek(date)[1], 2];
  }
  return undefined;
}

/** Formats that stand for others. */
const COMPOSED: Record<string, string> = {
  ...{c: '%a %b %e %H:%M:%S %Y', D: '%m/%d/%y', F: '%Y-%m-%d', r: '%I:%M:%S %p'},
  ...{R: '%H:%M', T: '%H:%M:%S', x: '%m/%d/%y', X: '%H:%M:%S'},
};

function wordFor(letter: string, date: Date): string | undefined {
  switch (letter) {
    case 'a':
      return DAYS[date.getDay()].slice(0, 3);
    case 'A':
      return DAYS[date.getDay()];
    case 'b':
    case 'h':
      return MONTHS[date.getMonth()].slice(0, 3);
    case 'B':
      return MONTHS[date.getMonth()];
    case 'p':
    case 'P':
      return date.getHours() < 12 ? 'AM' : 'PM';
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case '%':
      return '%';
  }
  return undefined;
}

/**
 * The local time `date` in `format`. It has no time zone, as `datetime.now()` has none: `%z` and `%Z` are empty.
 * An unknown format stays as it is.
 */
export function strftime(date: Date, format: string): string {
  // Python itself replaces these, which take no flags.
  const micros = String(date.getMilliseconds() * 1000).padStart(6, '0');
  const python = format.replace(/%([\s\S])/g, (all, letter: string) => {
    if (letter === 'f') return micros;
    return letter === 'z' || letter === 'Z' ? '' : all;
  });
  return python.replace(SPECIFIER, (all, flags: string, width: string, _modifier, letter: string) => {
    const own = flags.replace(/[\^#]/g, '').at(-1);
    const number = numberFor(letter, date);
    if (number) {
      const [value, natural, pad = '0'] = number;
      const fill = own === '_' ? ' ' : own === '0' || own === '+' ? '0' : pad;
      if (own === '-') return String(value).padStart(Number(width));
      const digits = String(Math.abs(value)).padStart(Math.max(natural, Number(width)), fill);
      return value < 0 ? `-${digits}` : digits;
    }
    let text = COMPOSED[letter] === undefined ? wordFor(letter, date) : strftime(date, COMPOSED[letter]);
    if (text === undefined) return all;
    if (letter === 'P') text = text.toLowerCase();
    else if (flags.includes('^')) text = text.toUpperCase();
    else if (flags.includes('#'))
      text = letter === 'p' ? text.toLowerCase() : 'aAbBh'.includes(letter) ? text.toUpperCase() : text;
    return text.padStart(Number(width), own === '0' || own === '+' ? '0' : ' ');
  });
}
