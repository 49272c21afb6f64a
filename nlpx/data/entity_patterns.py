"""The phrases of `cldr-entities`: `{kind}` is a slot to fill, `one|other` a choice to draw from, "_" a space.

A sentence is a lead (or none), a clause, and a tail (or none).
"""

# Some are also names of months or countries.
NAMES = (
    "Ada", "Amir", "Ana", "April", "August", "Ben", "Chen", "Chad", "Clara", "Daniel", "Elif", "Emma", "Eva", "Farid",
    "Georgia", "Hana", "Ines", "Ivan", "Jack", "Jordan", "June", "Karl", "Leo", "Lucia", "Maria", "May", "Mina", "Noah",
    "Olga", "Omar", "Paul", "Priya", "Rosa", "Sam", "Sara", "Tom", "Viktor", "Yuki", "Zoe",
)  # fmt: skip

LEADS = """
On {date} ,
Since|Until|By|Before {date} ,
In {country} ,
Throughout|Across {country} ,
According_to {name} ,
{name} says|writes|knows that
At|By {time} ,
For {money} ,
Back|Home in {country} ,
As the {language} proverb|saying goes ,
In {city} ,
Luckily|Sadly|Perhaps|Again|Today ,
After {span} ,
With {currency} alone|only ,
"""

CLAUSES = """
{name} paid|spent|lost {money}
{name} wants|needs|offers {money} , not {money}
she|he|{name} sold|bought|rented the car|house|boat for {money}
the contract|treaty|deal is worth|costs {money}
a ticket|flight|trip to {country} costs {money}
prices|fees|wages rose|fell|went from {money} to {money}
the invoice|bill|fine ( {money} ) is|was due
we|they|you owe|owed|promised {name} {money}
he|she|{name} earned|made|saved {money} a month|year|week
{money} is|was|seems a_lot|too_much|little for {weight} of rice|tea|paper
the parcel|bag|box weighs {weight} and costs {money}
the loan|debt|rent of {money} runs|stays|grows
they|we|{name} exchanged|changed|swapped {money} for {currency}
the {currency} lost|gained value against the {currency}
the shop|market|hotel only|always takes|wants {currency}
the bank|company|government of|in {country} lent|gave {name} {money}
{name} was born|raised|married in {country}
we|they|the_others flew|travelled|drove from|via {city} to {country}
{country} beat|defeated|met {country}
exports|imports|goods from {country} to {country} fell|rose|grew by {number} %
{country} , {country} and|or {country} share|border|own the lake|river|coast
no|a visa|passport|permit is|was needed|required for {country}
{name} moved|returned|fled to {country}
the embassy|consulate of {country} is|stays|was closed|open
{country} joined|left|signed the treaty|union
{country} 's parliament|president|army|economy met|grew|failed
{name} has|had been|gone|travelled to {country} , but|though never|not to {country}
the island|valley|coast|city belongs|belonged to {country}
coffee|tea|steel|rice from {country} is|was sold
the road|railway|river through|across {country} is|was {distance} long
{name} had walked|driven {distance} through|across {country}
nobody|somebody|a_doctor|a_team from {country} came|went to {city}
{name} called|wrote|reported from {country}
does|did anybody|somebody|{name} speak|understand|know {language} or|and {language}
{name} teaches|taught|studies {language} with {number} children|students|friends
most|many|some|few people|farmers|students understand|speak|read {language}
the film|song|report is|was in {language} with subtitles|notes in {language}
{language} is|was written|spoken|taught|sung from right to left
how|why do|would you say|write|spell|pronounce this|that in {language}
is|was {language} closer|nearer|related to {language} or|than to {language}
{name} learned|forgot|studied {language} within|for|in {span}
he|she|{name} translated {number} poems|pages|letters from {language} into|to {language}
a grammar|dictionary|history of {language} was|is printed|kept|sold
the dictionary|list|file has|holds {number} words|lines|pages of|in {language}
she|he|{name} answered|wrote|sang in {language}
her|his|my mother|wife|aunt speaks|spoke {language} , her|his|my father|cousin|uncle {language}
its|the_river_'s|his name|word comes|came from {language}
a|any reader|speaker|student|teacher of {language} will|would find|call this easy|odd
{language} has|had {number} speakers|writers|books
her|his|my {language} is|was better|worse than her|his|my {language}
the book|novel|letter was|is translated|read|kept in {language} and {language}
the meeting|party|match|exam of|on {date} was moved|shifted|put_off to {date}
the {date} edition|issue|meeting was printed|held
write|put|give the date|day as {date}
{name} and {name} met|left|married on {date} and again|once_more on {date}
rain|snow|wind is|was expected|seen from|between {date} to|and {date}
{name} will|may march|run|walk through {city}
room|flight|page {number} was booked|read|checked by {name}
the water|air|sea was|had {heat}
its|their capital|largest_port is {city}
{number} people|voters|soldiers voted|died|left
may|can|could|should i|{name} pay|give you {money}
"""

TAILS = """
on {date}
on {date} at {time}
before|after|until|since {date}
between {date} and {date}
in {country}
in|near {city} , {country}
in|near|outside {city}
, as|while {name} lived|stayed in {country}
between {country} and {country}
for {money}
, about|nearly twice|half of {money}
, which cost|costs {money}
, as|since|for {name} had no {currency}
at|by {time}
within|after {span}
in|into {language}
, says|said {name} in {language}
for readers|speakers|students of {language}
for|with visitors|workers|doctors from {country}
, {distance} from the border with {country}
and on {date} in {country}
for {money} in {country}
, wrote|told|sent {name}
; {name} was|is there|late|angry
; {money} is|was enough
: {name} has seen|heard it
( {name} was|is away|ill )
- not {money} , as {name} thought
"""
