# Sums the closing lines of all test programs of one `cargo test`. With -v root=1 an ignored test
# that the file given by -v policy=FILE does not list makes it exit 1.
#   test result: ok. 12 passed; 0 failed; 1 ignored; ...      12 passed, 0 failed, 1 skipped
BEGIN {
    while (policy && (getline line < policy) > 0) {
        if (line !~ /^ *#/ && split(line, part, ": ") > 1) listed[part[1]] = 1
    }
}
root && /^test .* \.\.\. ignored/ && !($2 in listed) {
    said[++lines] = "test " $2 " is ignored, but " policy " does not list it"
    unlisted++
}
/^test result: / {
    for (i = 2; i <= NF; i++) {
        if ($i == "passed;") passed += $(i - 1)
        if ($i == "failed;") failed += $(i - 1)
        if ($i == "ignored;") skipped += $(i - 1)
    }
}
/^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ {
    passed += $1; failed += $3; skipped += $5
}
/ \.\.\. SKIPPED: / || /\.\.\. ignored/ || / \.\.\. FAILED/ { said[++lines] = $0 }
/^error: test failed/ { programs++ }
/^error(\[|:)/ && !/test failed/ && !/target/ { broken++ }
END {
    if (lines) {
        print "\nskipped and failed:"
        for (i = 1; i <= lines; i++) print "    " said[i]
    }
    if (broken) print "\nthe build is broken"
    print ""
    printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
    if (unlisted) exit 1
}
