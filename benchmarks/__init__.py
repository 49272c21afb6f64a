import sys

if sys.argv[0] == "-m":  # the entry point of a process, whose first second may be its last
    from nlpx.process import end_at_once_on_interrupt

    end_at_once_on_interrupt()
